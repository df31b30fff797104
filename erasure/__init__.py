"""Reed–Solomon over buffers: pure functions, no I/O."""
