"""The record of acts: the only way in which an act is written down, and how it reaches the operators' trail."""
