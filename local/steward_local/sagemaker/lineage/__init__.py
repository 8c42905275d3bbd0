"""ML Lineage Tracking: artifacts, actions, contexts and the associations between them."""
