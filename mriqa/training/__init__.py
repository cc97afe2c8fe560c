"""What the learned methods share: slice feed, contrastive pretraining, loop, checkpoints, launch.

feed = open_feed([FeedItem("study_sub-01_T1w", Path("zarr/shard-00000.zarr"))], section)
feed.pair(0)  # two views of the first sample, (2, 1, p, p)
"""
