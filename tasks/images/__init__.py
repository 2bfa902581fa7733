"""What is particular to images: augmentation of whole batches."""
