"""Workloads: what runs on phones and servers, event by event."""
