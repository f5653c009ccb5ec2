"""The outer loop: pre-training, meta-training, selection and evaluation of initializations."""
