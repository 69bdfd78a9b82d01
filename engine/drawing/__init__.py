"""The pipeline as a picture: what there is to draw of a configuration, as text and as SVG."""
