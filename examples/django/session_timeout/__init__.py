"""Idle sessions of Django are logged out by the PostgreSQL extension inactive_session_timeout. See middleware.py."""
