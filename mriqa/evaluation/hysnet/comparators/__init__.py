"""What HyS-Net is compared with: three networks and BRISQUE, none with weights of its authors."""
