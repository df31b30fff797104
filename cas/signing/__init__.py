"""Who vouches for refs: keys that sign their changes, keys that are trusted, what was seen."""
