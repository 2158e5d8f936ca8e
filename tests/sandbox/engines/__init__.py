"""Tests of the engines that add tables up."""
