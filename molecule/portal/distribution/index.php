<?php
echo 'portal';
