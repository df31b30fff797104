"""The disk cache: chunks of a store's files on a disk at hand, verified whenever they are read."""
