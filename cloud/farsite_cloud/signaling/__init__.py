"""What the hub asks the cloud, and what the cloud tells peers."""
