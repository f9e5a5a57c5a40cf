"""Analysis of finished runs: scores, intervals, figures and reports. Nothing here trains, but `cross` on request."""
