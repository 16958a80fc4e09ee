<?php
$search_default_option = ['full_text_engine' => 'bitrix', 'sphinx_connection' => '127.0.0.1:9306', 'sphinx_index_name' => 'bitrix'];
