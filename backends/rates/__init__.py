"""How much may be asked of a provider: who may ask next, whichever process asks."""
