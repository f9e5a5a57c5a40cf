"""Features of frozen backbones: extraction, store and cache; decoded media."""
