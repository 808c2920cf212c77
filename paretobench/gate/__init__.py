"""Comparing two run folders: has the frontier moved?"""
