"""Speed comparisons that print ratios; never timed tests."""
