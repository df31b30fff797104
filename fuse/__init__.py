"""The mount: a read-only tree of files over a store, and the bindings that show it."""
