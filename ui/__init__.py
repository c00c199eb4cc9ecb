"""The client for people who would rather look: pages of Streamlit that speak to the service over HTTP."""
