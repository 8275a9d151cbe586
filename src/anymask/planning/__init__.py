"""What a training run needs and costs, before it is begun."""
