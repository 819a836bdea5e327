/*
source: warehouse
primary_key: change_id        # each key is sent once, ever: that is what makes a row an event
description: Every move of an account to a larger plan, with the user who made it
*/
select
    change_id,
    user_id,
    -- a subscription with parent accounts knows an account as parent::child
    group_id || '::' || account_id as account_id,
    changed_at,
    from_plan,
    to_plan,
    seats
from billing.plan_changes
where direction = 'upgrade'
