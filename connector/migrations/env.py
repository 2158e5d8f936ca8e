from hexi.database import run_migrations

run_migrations()
