"""The eight invented domains: their assistants, rows and tools. Data only."""

from __future__ import annotations

from typing import Final

from learned_router.training.sample.case import Domain, Tool

CODE_HOST: Final = Domain(
    "code_host",
    ("You are the assistant of a code host.", "You help developers with their repositories.", "You are a git helper."),
    "pull request",
    ("number", "title", "state", "author", "lines"),
    "lines",
    ("Fix login", "Add dark theme", "Update docs", "Drop old cache", "Speed up tests", "New logo", "Rename module"),
    ("open", "merged", "closed", "draft"),
    "{}",
    (
        Tool(
            "list_commits",
            "List recent commits",
            (
                "list my recent commits",
                "show my recent commits",
                "list the latest commits",
                "show me the recent commits",
                "list all my commits",
                "please list my last commits",
            ),
        ),
        Tool(
            "list_pull_requests",
            "List open pull requests",
            (
                "show open pull requests",
                "list the open pull requests",
                "list my pull requests",
                "show me all pull requests",
                "please list pull requests",
            ),
        ),
        Tool(
            "list_branches",
            "List branches",
            (
                "list the branches",
                "show all branches",
                "list my branches please",
                "show me the branches of this repository",
            ),
        ),
        Tool(
            "get_file",
            "Read a file",
            ("get the file {path}", "read the file {path}", "show me {path}", "open {path} please"),
            (("path", "path"),),
        ),
        Tool(
            "create_issue",
            "Open a new issue",
            ('create an issue titled "{title}"', 'open an issue called "{title}"', 'please create the issue "{title}"'),
            (("title", "title"),),
        ),
        Tool(
            "merge_pull_request",
            "Merge a pull request",
            ("merge pull request {number}", "please merge pull request {number}", "merge PR {number}"),
            (("number", "number"),),
        ),
        Tool(
            "assign_reviewer",
            "Ask someone to review",
            ("assign {reviewer} as reviewer of {number}", "let {reviewer} review pull request {number}"),
            (("number", "number"), ("reviewer", "person")),
        ),
    ),
    "list_pull_requests",
)
CALENDAR: Final = Domain(
    "calendar",
    ("You are a calendar assistant.", "You manage meetings for a small team.", "You keep the team's calendar."),
    "meeting",
    ("id", "title", "room", "host", "minutes"),
    "minutes",
    ("Design review", "Team lunch", "Budget talk", "Sprint start", "Yearly plan", "Sales call", "Job interview"),
    ("Atlas", "Birch", "Comet", "Delta"),
    "M-{}",
    (
        Tool(
            "list_meetings",
            "List today's meetings",
            ("list my meetings", "show today's meetings", "list all meetings of today", "show me my meetings"),
        ),
        Tool(
            "list_rooms",
            "List free rooms",
            ("list the free rooms", "show free rooms", "show me the rooms", "list all rooms please"),
        ),
        Tool("list_reminders", "List reminders", ("list my reminders", "show my reminders", "show me all reminders")),
        Tool(
            "create_meeting",
            "Create a meeting",
            (
                'create a meeting titled "{title}"',
                'create the meeting "{title}" please',
                'set up a meeting called "{title}"',
            ),
            (("title", "title"),),
        ),
        Tool(
            "invite_person",
            "Invite a person",
            ("invite {person}", "please invite {person}", "invite {person} to the meeting"),
            (("person", "person"),),
        ),
        Tool(
            "cancel_meeting",
            "Cancel a meeting by number",
            ("cancel meeting {number}", "please cancel meeting {number}", "cancel number {number}"),
            (("number", "number"),),
        ),
        Tool(
            "move_meeting",
            "Move a meeting to another room",
            ("move meeting {number} to room {room}", "put meeting {number} into room {room}"),
            (("number", "number"), ("room", "word")),
        ),
    ),
    "list_meetings",
)
TICKETS: Final = Domain(
    "tickets",
    ("You are the help desk assistant.", "You work with support tickets.", "You help the support team."),
    "ticket",
    ("id", "title", "status", "agent", "hours"),
    "hours",
    ("Printer jam", "Lost password", "Slow laptop", "Broken screen", "New account", "No sound", "Mail bounces"),
    ("open", "waiting", "solved", "closed"),
    "T-{}",
    (
        Tool(
            "list_tickets",
            "List open tickets",
            ("list the open tickets", "show my tickets", "list all tickets", "show me the tickets please"),
        ),
        Tool("list_agents", "List support agents", ("list the agents", "show all agents", "list the support agents")),
        Tool("list_queues", "List queues", ("list the queues", "show all queues", "show me the queues please")),
        Tool(
            "create_ticket",
            "Create a ticket",
            ('create a ticket titled "{title}"', 'please create the ticket "{title}"', 'new ticket: "{title}"'),
            (("title", "title"),),
        ),
        Tool(
            "close_ticket",
            "Close a ticket by number",
            ("close ticket {number}", "please close ticket {number}", "close number {number}"),
            (("number", "number"),),
        ),
        Tool(
            "find_customer",
            "Find a customer by email",
            ("find the customer {email}", "find customer with email {email}", "look up {email}"),
            (("email", "email"),),
        ),
        Tool(
            "assign_ticket",
            "Give a ticket to an agent",
            ("assign ticket {number} to {agent}", "give ticket {number} to {agent}"),
            (("number", "number"), ("agent", "person")),
        ),
    ),
    "list_tickets",
)
SHOP: Final = Domain(
    "shop",
    ("You are a shop assistant.", "You help customers with their orders.", "You answer for an online shop."),
    "order",
    ("order", "item", "status", "customer", "price"),
    "euros",
    ("Desk lamp", "Tea pot", "Wool scarf", "Garden chair", "Bike bell", "Wall clock", "Sun hat"),
    ("paid", "shipped", "delivered", "returned"),
    "A-{}",
    (
        Tool(
            "list_orders",
            "List recent orders",
            ("list my orders", "show my recent orders", "show me all orders", "please list my orders"),
        ),
        Tool("list_offers", "List current offers", ("list the offers", "show current offers", "show me your offers")),
        Tool("show_cart", "Show the cart", ("show my cart", "show me the cart", "show the cart please")),
        Tool(
            "search_item",
            "Search for an item",
            ("search for {item}", "search item {item}", "please search for a {item}"),
            (("item", "word"),),
        ),
        Tool(
            "track_order",
            "Track an order by number",
            ("track order {number}", "please track order {number}", "track my order {number}"),
            (("number", "number"),),
        ),
        Tool(
            "ship_to",
            "Set the delivery city",
            ("ship it to {city}", "ship my order to {city}", "deliver to {city} please"),
            (("city", "city"),),
        ),
        Tool(
            "add_to_cart",
            "Add items to the cart",
            ("add {count} of {item} to the cart", "put {count} pieces of {item} into my cart"),
            (("item", "word"), ("count", "number")),
        ),
    ),
    "list_orders",
)
FILES: Final = Domain(
    "files",
    ("You are a file store assistant.", "You manage shared files.", "You help people find their files."),
    "file",
    ("id", "name", "folder", "owner", "size_kb"),
    "kilobytes",
    ("notes.txt", "report.pdf", "budget.csv", "logo.png", "talk.pptx", "index.html", "photo.jpg"),
    ("docs", "drafts", "archive", "shared"),
    "F-{}",
    (
        Tool(
            "list_files", "List files", ("list my files", "show all files", "list the files here", "show me my files")
        ),
        Tool("list_folders", "List folders", ("list the folders", "show all folders", "show me my folders")),
        Tool(
            "show_quota",
            "Show the storage quota",
            ("show my quota", "show the storage quota", "show me the quota please"),
        ),
        Tool(
            "read_file",
            "Read a file",
            ("read the file {path}", "read {path}", "please read {path}"),
            (("path", "path"),),
        ),
        Tool(
            "delete_file",
            "Delete a file",
            ("delete the file {path}", "delete {path}", "please delete {path}"),
            (("path", "path"),),
        ),
        Tool(
            "create_folder",
            "Create a folder",
            ("create a folder named {name}", "create the folder {name}", "make a folder called {name}"),
            (("name", "word"),),
        ),
        Tool(
            "share_file",
            "Share a file with someone",
            ("share {path} with {person}", "give {person} access to {path}"),
            (("path", "path"), ("person", "person")),
        ),
    ),
    "list_files",
)
WEATHER: Final = Domain(
    "weather",
    ("You are a weather assistant.", "You report from weather stations.", "You answer questions about the weather."),
    "station",
    ("station", "place", "sky", "keeper", "temperature"),
    "degrees",
    ("Oslo", "Bergen", "Rome", "Lisbon", "Bonn", "Turin", "Lyon"),
    ("sunny", "cloudy", "rainy", "windy"),
    "W-{}",
    (
        Tool(
            "list_stations",
            "List weather stations",
            ("list the stations", "show all stations", "list the weather stations"),
        ),
        Tool(
            "list_warnings", "List storm warnings", ("list the warnings", "show storm warnings", "show me all warnings")
        ),
        Tool(
            "list_records",
            "List temperature records",
            ("list the records", "show the temperature records", "show me all records"),
        ),
        Tool(
            "get_forecast",
            "Get the forecast of a city",
            ("get the forecast for {city}", "forecast for {city}", "show the forecast of {city}"),
            (("city", "city"),),
        ),
        Tool(
            "get_wind",
            "Get the wind in a city",
            ("get the wind in {city}", "how is the wind in {city}", "wind in {city} please"),
            (("city", "city"),),
        ),
        Tool(
            "get_station",
            "Get a station by number",
            ("get station {number}", "show station {number}", "please get station {number}"),
            (("number", "number"),),
        ),
        Tool(
            "set_alert",
            "Alert someone about a city",
            ("set an alert for {city} to {email}", "alert {email} about {city}"),
            (("city", "city"), ("email", "email")),
        ),
    ),
    "list_stations",
)
BILLING: Final = Domain(
    "billing",
    ("You are a billing assistant.", "You look after invoices.", "You help with payments and invoices."),
    "invoice",
    ("invoice", "plan", "status", "customer", "amount"),
    "euros",
    ("Basic plan", "Team plan", "Extra seats", "Yearly plan", "Data pack", "Training day", "Support hours"),
    ("paid", "unpaid", "overdue", "refunded"),
    "I-{}",
    (
        Tool(
            "list_invoices",
            "List invoices",
            ("list my invoices", "show all invoices", "list the latest invoices", "show me my invoices"),
        ),
        Tool("list_payments", "List payments", ("list my payments", "show the payments", "show me all payments")),
        Tool(
            "show_balance", "Show the balance", ("show my balance", "show the balance", "show me the account balance")
        ),
        Tool(
            "send_invoice",
            "Send an invoice to an email",
            ("send the invoice to {email}", "send it to {email}", "please send the invoice to {email}"),
            (("email", "email"),),
        ),
        Tool(
            "refund_invoice",
            "Refund an invoice by number",
            ("refund invoice {number}", "please refund invoice {number}", "refund number {number}"),
            (("number", "number"),),
        ),
        Tool(
            "change_plan",
            "Change the plan",
            ('change the plan to "{plan}"', 'change my plan to "{plan}"'),
            (("plan", "title"),),
        ),
        Tool(
            "charge_customer",
            "Charge a customer",
            ("charge {customer} {amount} euros", "bill {customer} for {amount} euros"),
            (("customer", "person"), ("amount", "number")),
        ),
    ),
    "list_invoices",
)
LOGS: Final = Domain(
    "logs",
    ("You are a log search assistant.", "You watch the services of a data centre.", "You help engineers read logs."),
    "log entry",
    ("entry", "event", "level", "service", "ms"),
    "milliseconds",
    ("Disk full", "Cache miss", "Slow query", "Login failed", "Job started", "Queue empty", "Port closed"),
    ("info", "warning", "error", "debug"),
    "L-{}",
    (
        Tool("list_services", "List services", ("list the services", "show all services", "list running services")),
        Tool(
            "list_errors", "List recent errors", ("list recent errors", "show the errors", "show me the latest errors")
        ),
        Tool("list_alerts", "List alerts", ("list the alerts", "show all alerts", "show me the alerts please")),
        Tool(
            "search_logs",
            "Search the logs for a word",
            ("search the logs for {word}", "search for {word} in the logs", "search logs: {word}"),
            (("word", "word"),),
        ),
        Tool(
            "restart_service",
            "Restart a service",
            ("restart the service {name}", "restart {name}", "please restart {name}"),
            (("name", "word"),),
        ),
        Tool(
            "get_entry",
            "Get a log entry by number",
            ("get entry {number}", "show log entry {number}", "get log entry {number}"),
            (("number", "number"),),
        ),
        Tool(
            "scale_service",
            "Set how many copies run",
            ("scale {name} to {copies} copies", "run {copies} copies of {name}"),
            (("name", "word"), ("copies", "number")),
        ),
    ),
    "list_errors",
)
DOMAINS: Final = (CODE_HOST, CALENDAR, TICKETS, SHOP, FILES, WEATHER, BILLING, LOGS)
