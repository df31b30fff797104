"""The sites of a store as a user sees them: which there are, what they do, and that one is gone."""
