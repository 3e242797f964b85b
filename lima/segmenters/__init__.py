"""What cuts images into superpixels, masks or instances."""
