"""The pages: what a person sees of the platform in a browser, one file a noun, rendered on the server."""
