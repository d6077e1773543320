"""8/8 export: a selection -> a bundle (`atp.bundle/1`) that anyone verifies offline; `atp.verify` has the format."""
