"""Features of frozen backbones: extraction, store and cache; and a cache of decoded media."""
