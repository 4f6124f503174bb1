"""What several processes of one cloud share through Redis: limits, presence, and messages between their hubs."""
