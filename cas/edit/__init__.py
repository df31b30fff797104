"""Branches edited in place: what is taken out, moved, or put back as it was, each by a commit.

Only trees and a commit are made. Files keep their manifests, so no backend is read.
"""
