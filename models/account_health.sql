/*
source: warehouse
primary_key: account_id       # one column, or a list of columns
description: Plan, size and health of every account
*/
select
    group_id || '::' || account_id as account_id,
    plan,
    seats,
    arr,
    health_score,
    open_tickets,
    customer_since,
    renews_at
from marts.accounts
