"""What backends that keep files share: locks, whole new files, run journals, disk errors."""
