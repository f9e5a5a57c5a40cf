"""Analysis of finished runs: pictures, tables and the model card. Reads results, never trains."""
