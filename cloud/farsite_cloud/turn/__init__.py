"""The relay: coturn's configuration, time-limited credentials, and a supervised `turnserver`."""
