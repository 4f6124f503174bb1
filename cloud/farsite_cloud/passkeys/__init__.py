"""Passkeys (WebAuthn): signing in without a password, and a second factor."""
