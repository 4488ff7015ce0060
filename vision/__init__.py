"""Images to keypoints to state."""
