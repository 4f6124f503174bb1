"""Accounts: people, their passwords and the tokens they are signed in with."""
