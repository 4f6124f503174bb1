"""What the cloud is told about devices, images and tasks: written down with every change, sent until it is kept."""
