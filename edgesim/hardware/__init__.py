"""Phones and servers: their profiles, and the objects that compute, transfer and run empty."""
