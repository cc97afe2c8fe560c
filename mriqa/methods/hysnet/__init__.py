"""A numeric quality score by a ResNet and a hyper-network (Qi et al., HyS-Net, arXiv 2107.06888).

The network (`net`), the patches that it sees of a volume (`patches`, `feed`, `volumes`), how it
learns on the shared loop (`learning`), what it then says of a volume (`predicting`, `target`), and
the weights that it makes for every image, in two dimensions (`weights_plane`).
"""
