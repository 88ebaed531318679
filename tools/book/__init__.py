"""The course as a static site and as slides, made from the executed notebooks (`make book`)."""
