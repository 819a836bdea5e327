/*
source: warehouse
primary_key: user_id
description: One row a user of the application
*/
select
    user_id,
    role,
    language,
    teams,
    signed_up_at,
    sessions_30d,
    is_champion
from app.users
