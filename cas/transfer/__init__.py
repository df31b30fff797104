"""Repositories carried from one store into another."""
