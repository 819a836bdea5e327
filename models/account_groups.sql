/*
source: warehouse
primary_key: group_id
description: The companies that hold several accounts
*/
select
    g.group_id,
    g.territory,
    count(*) as accounts,
    sum(a.arr) as arr
from billing.account_groups as g
join marts.accounts as a using (group_id)
group by all
