"""Identity providers of organizations: signing in with OpenID Connect."""
