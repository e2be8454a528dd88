"""What the recipes share and no chapter teaches."""
