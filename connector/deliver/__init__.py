"""Delivery: the plan's rows sent, waited for, split and stopped, with one outcome for each.

Everything that decides what is sent when, and what becomes of a row, is in here; only this package calls
`Destination.send`.
"""

from __future__ import annotations

from connector.deliver.conversation import converse
from connector.deliver.delivery import deliver
from connector.deliver.policy import Delivered, Policy

__all__ = ["Delivered", "Policy", "converse", "deliver"]
