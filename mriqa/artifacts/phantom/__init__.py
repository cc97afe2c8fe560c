"""Procedural phantoms of the demo cohort: an abdomen in Dixon water contrast, a diffusion brain.

`person` who is scanned and the body that follows, `canvas` shapes and smooth fields, `tissue`
contrasts, `trunk`, `organs`, `bowel` what is painted, `abdomen` puts it together, `scanner` turns
the ideal image into a scan, `brain` head and diffusion scan.
"""
