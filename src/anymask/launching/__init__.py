"""Jobs for SLURM: what a config says becomes a script that can be read, and the script is submitted."""
