"""From a route to an answer: whose turn it is, when two are asked, when to give up."""
