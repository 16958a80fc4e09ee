<? $LICENSE_KEY = "DEMO"; ?>
